curl -X POST http://localhost:8003/api/jobs/{job_id}/llm-call \
  -H "Authorization: Bearer sk-your-virtual-key" \
  -H "Content-Type: application/json" \
  -d '{
    "model_group": "ResumeAgent",
    "messages": [
      {
        "role": "system",
        "content": "You are a resume parsing assistant."
      },
      {
        "role": "user",
        "content": "Extract key skills from this resume: ..."
      }
    ],
    "purpose": "skill_extraction",
    "temperature": 0.3
  }'

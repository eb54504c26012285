import requests

API_URL = "http://localhost:8003/api"
VIRTUAL_KEY = "sk-your-virtual-key"

headers = {
    "Authorization": f"Bearer {VIRTUAL_KEY}",
    "Content-Type": "application/json"
}

response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
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
    }
)

result = response.json()
print(result['response']['content'])
print(f"Tokens used: {result['metadata']['tokens_used']}")
print(f"Latency: {result['metadata']['latency_ms']}ms")

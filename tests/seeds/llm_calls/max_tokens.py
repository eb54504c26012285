# Short summary
response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "model_group": "SummaryAgent",
        "messages": [{"role": "user", "content": "Summarize this article..."}],
        "max_tokens": 150  # Limit to ~150 tokens
    }
)

# Long-form content
response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "model_group": "WritingAgent",
        "messages": [{"role": "user", "content": "Write a detailed article..."}],
        "max_tokens": 2000  # Allow up to 2000 tokens
    }
)

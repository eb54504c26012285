# Short summary
response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "messages": [
            {"role": "user", "content": "Summarize the theory of relativity"}
        ],
        "max_tokens": 100 # ~75 words
    }
).json()

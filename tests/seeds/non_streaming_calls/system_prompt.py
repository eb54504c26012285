response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "messages": [
            {
                "role": "system",
                "content": "You are a professional Python tutor. Explain concepts clearly and provide code examples."
            },
            {
                "role": "user",
                "content": "How do I read a CSV file in Python?"
            }
        ]
    }
).json()

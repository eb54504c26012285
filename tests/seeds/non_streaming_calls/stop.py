response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "messages": [
            {"role": "user", "content": "List the first 5 planets:\n1."}
        ],
        "stop": ["\n6.", "END"] # Stop at 6th planet or "END"
    }
).json()

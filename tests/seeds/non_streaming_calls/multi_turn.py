# First message
response1 = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "messages": [
            {"role": "user", "content": "What is Python?"}
        ]
    }
).json()
# Second message - include history
response2 = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "messages": [
            {"role": "user", "content": "What is Python?"},
            {"role": "assistant", "content": response1["response"]["content"]},
            {"role": "user", "content": "What are its main uses?"}
        ]
    }
).json()
print(response2["response"]["content"])

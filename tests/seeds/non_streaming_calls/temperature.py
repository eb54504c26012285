# Creative response (temperature = 1.5)
creative = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "messages": [
            {"role": "user", "content": "Write a creative tagline for a coffee shop"}
        ],
        "temperature": 1.5
    }
).json()
# Factual response (temperature = 0.2)
factual = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "messages": [
            {"role": "user", "content": "What is 2 + 2?"}
        ],
        "temperature": 0.2
    }
).json()

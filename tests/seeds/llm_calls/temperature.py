# Factual, precise response
response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "model_group": "AnalysisAgent",
        "messages": [{"role": "user", "content": "What is photosynthesis?"}],
        "temperature": 0.2  # Low temperature for facts
    }
)

# Creative, varied response
response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "model_group": "ChatAgent",
        "messages": [{"role": "user", "content": "Write a creative story"}],
        "temperature": 1.2  # High temperature for creativity
    }
)

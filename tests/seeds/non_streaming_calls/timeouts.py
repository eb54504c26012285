# Set appropriate timeout based on expected response time
response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={"messages": messages},
    timeout=30 # 30 seconds
)

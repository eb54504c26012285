def make_llm_call_with_metrics(job_id, messages):
    response = make_llm_call(job_id, messages)
    # Log metrics
    print(f"Tokens used: {response['metadata']['tokens_used']}")
    print(f"Latency: {response['metadata']['latency_ms']}ms")
    # Alert on high usage
    if response['metadata']['tokens_used'] > 2000:
        print("Warning: High token usage")
    if response['metadata']['latency_ms'] > 5000:
        print("Warning: High latency")
    return response

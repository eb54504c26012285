response = make_llm_call(job_id, messages)
# Check finish_reason
if response["response"]["finish_reason"] != "stop":
    print(f"Warning: Response ended with {response['response']['finish_reason']}")
    if response["response"]["finish_reason"] == "length":
        print("Response was truncated. Consider increasing max_tokens.")
# Validate content
content = response["response"]["content"]
if not content or len(content) == 0:
    print("Warning: Empty response received")

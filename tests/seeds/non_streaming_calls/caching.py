import hashlib
import json
# Simple in-memory cache
response_cache = {}
def make_cached_llm_call(job_id, messages):
    # Create cache key from messages
    cache_key = hashlib.md5(
        json.dumps(messages, sort_keys=True).encode()
    ).hexdigest()
    # Check cache
    if cache_key in response_cache:
        print("Cache hit!")
        return response_cache[cache_key]
    # Make actual call
    response = make_llm_call(job_id, messages)
    # Store in cache
    response_cache[cache_key] = response
    return response

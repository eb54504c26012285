response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "messages": [
            {
                "role": "system",
                "content": "You are a data extraction API. Always respond with valid JSON."
            },
            {
                "role": "user",
                "content": "Extract person info: John Smith, age 35, email john@example.com. Return as JSON with keys: name, age, email"
            }
        ],
        "temperature": 0.1 # Low temperature for consistency
    }
).json()
import json
data = json.loads(response["response"]["content"])
print(data["name"]) # "John Smith"

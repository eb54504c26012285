import requests
API_URL = "http://localhost:8003/api"
VIRTUAL_KEY = "sk-your-virtual-key-here"
headers = {
    "Authorization": f"Bearer {VIRTUAL_KEY}",
    "Content-Type": "application/json"
}
# 1. Create job
job_response = requests.post(
    f"{API_URL}/jobs/create",
    headers=headers,
    json={
        "team_id": "acme-corp",
        "job_type": "document_analysis"
    }
).json()
job_id = job_response["job_id"]
print(f"Created job: {job_id}")
# 2. Make LLM call
llm_response = requests.post(
    f"{API_URL}/jobs/{job_id}/llm-call",
    headers=headers,
    json={
        "messages": [
            {"role": "user", "content": "Analyze this document and summarize the key points"}
        ]
    }
).json()
print(f"Response: {llm_response['response']['content']}")
# 3. Complete job
complete_response = requests.post(
    f"{API_URL}/jobs/{job_id}/complete",
    headers=headers,
    json={"status": "completed"}
).json()
print(f"Job completed. Credits remaining: {complete_response['costs']['credits_remaining']}")

import requests
import json
API_URL = "http://localhost:8003/api"
VIRTUAL_KEY = "sk-your-virtual-key-here"
headers = {
    "Authorization": f"Bearer {VIRTUAL_KEY}",
    "Content-Type": "application/json"
}
def analyze_document(team_id, document_text):
    """Analyze a document and return structured insights"""
    # 1. Create job
    job = requests.post(
        f"{API_URL}/jobs/create",
        headers=headers,
        json={
            "team_id": team_id,
            "job_type": "document_analysis",
            "metadata": {"document_length": len(document_text)}
        }
    ).json()
    job_id = job["job_id"]
    try:
        # 2. Extract key points
        extraction = requests.post(
            f"{API_URL}/jobs/{job_id}/llm-call",
            headers=headers,
            json={
                "messages": [
                    {
                        "role": "system",
                        "content": "Extract key points from documents as bullet points."
                    },
                    {
                        "role": "user",
                        "content": f"Extract key points from:\n\n{document_text}"
                    }
                ],
                "temperature": 0.3,
                "max_tokens": 500
            }
        ).json()
        key_points = extraction["response"]["content"]
        # 3. Generate summary
        summary = requests.post(
            f"{API_URL}/jobs/{job_id}/llm-call",
            headers=headers,
            json={
                "messages": [
                    {
                        "role": "system",
                        "content": "Create concise summaries of documents."
                    },
                    {
                        "role": "user",
                        "content": f"Summarize this in 2-3 sentences:\n\n{document_text}"
                    }
                ],
                "temperature": 0.5,
                "max_tokens": 200
            }
        ).json()
        summary_text = summary["response"]["content"]
        # 4. Complete job
        result = requests.post(
            f"{API_URL}/jobs/{job_id}/complete",
            headers=headers,
            json={
                "status": "completed",
                "metadata": {"success": True}
            }
        ).json()
        return {
            "job_id": job_id,
            "key_points": key_points,
            "summary": summary_text,
            "credits_remaining": result["costs"]["credits_remaining"]
        }
    except Exception as e:
        # Mark job as failed
        requests.post(
            f"{API_URL}/jobs/{job_id}/complete",
            headers=headers,
            json={
                "status": "failed",
                "metadata": {"error": str(e)}
            }
        )
        raise
# Usage
document = """
Artificial intelligence (AI) is transforming industries...
[long document text]
"""
result = analyze_document("acme-corp", document)
print(f"Summary: {result['summary']}")
print(f"Key Points:\n{result['key_points']}")
print(f"Credits remaining: {result['credits_remaining']}")

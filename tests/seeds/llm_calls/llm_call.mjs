const API_URL = "http://localhost:8003/api";
const VIRTUAL_KEY = "sk-your-virtual-key";

const response = await fetch(`${API_URL}/jobs/${jobId}/llm-call`, {
  method: 'POST',
  headers: {
    'Authorization': `Bearer ${VIRTUAL_KEY}`,
    'Content-Type': 'application/json'
  },
  body: JSON.stringify({
    model_group: 'ResumeAgent',
    messages: [
      {
        role: 'system',
        content: 'You are a resume parsing assistant.'
      },
      {
        role: 'user',
        content: 'Extract key skills from this resume: ...'
      }
    ],
    purpose: 'skill_extraction',
    temperature: 0.3
  })
});

const result = await response.json();
console.log(result.response.content);
console.log(`Tokens used: ${result.metadata.tokens_used}`);
console.log(`Latency: ${result.metadata.latency_ms}ms`);

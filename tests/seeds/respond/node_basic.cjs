const axios = require('axios');

async function callLLM(messages, model = 'meta/llama-3-70b-instruct') {
    try {
        const response = await axios.post(
            'https://streamchat-staging.jobsolve.ai/api/v1/llm/respond',
            {
                model: model,
                messages: messages,
                temperature: 0.7,
                max_tokens: 1000,
                stream: false
            },
            {
                headers: {
                    'Content-Type': 'application/json',
                    'x-api-key': '11ea0155-84b0-48d9-826c-8a14bd41e235'
                }
            }
        );
        
        return response.data;
    } catch (error) {
        console.error('Error calling LLM:', error.response?.data || error.message);
        throw error;
    }
}

// Usage
const messages = [
    {
        role: 'system',
        content: [{ type: 'text', text: 'You are a helpful assistant.' }]
    },
    {
        role: 'user',
        content: [{ type: 'text', text: 'Hello!' }]
    }
];

callLLM(messages).then(response => {
    console.log('Response:', response.message.content[0].text);
    console.log('Usage:', response.usage);
});

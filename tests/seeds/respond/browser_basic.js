async function callLLM(messages, model = 'meta/llama-3-70b-instruct') {
    try {
        const response = await fetch('https://streamchat-staging.jobsolve.ai/api/v1/llm/respond', {
            method: 'POST',
            headers: {
                'Content-Type': 'application/json',
                'x-api-key': '11ea0155-84b0-48d9-826c-8a14bd41e235'
            },
            body: JSON.stringify({
                model: model,
                messages: messages,
                temperature: 0.7,
                max_tokens: 1000,
                stream: false
            })
        });
        
        if (!response.ok) {
            const error = await response.json();
            throw new Error(error.error?.message || 'Request failed');
        }
        
        const data = await response.json();
        return data;
    } catch (error) {
        console.error('Error calling LLM:', error);
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

async function streamLLM(messages, onToken, onToolCall, onDone) {
    try {
        const response = await fetch('https://streamchat-staging.jobsolve.ai/api/v1/llm/respond', {
            method: 'POST',
            headers: {
                'Content-Type': 'application/json',
                'x-api-key': '11ea0155-84b0-48d9-826c-8a14bd41e235'
            },
            body: JSON.stringify({
                model: 'meta/llama-3-70b-instruct',
                messages: messages,
                temperature: 0.7,
                max_tokens: 1000,
                stream: true
            })
        });
        
        if (!response.ok) {
            const error = await response.json();
            throw new Error(error.error?.message || 'Request failed');
        }
        
        const reader = response.body.getReader();
        const decoder = new TextDecoder();
        let buffer = '';
        let currentEventType = '';
        
        while (true) {
            const { done, value } = await reader.read();
            if (done) break;
            
            buffer += decoder.decode(value, { stream: true });
            const lines = buffer.split('\n');
            buffer = lines.pop() || '';
            
            for (const line of lines) {
                if (line.startsWith('event: ')) {
                    currentEventType = line.slice(7).trim();
                } else if (line.startsWith('data: ')) {
                    const dataStr = line.slice(6).trim();
                    if (dataStr === '[DONE]') continue;
                    
                    try {
                        const data = JSON.parse(dataStr);
                        
                        if (currentEventType === 'token' && onToken) {
                            onToken(data.text || '');
                        } else if (currentEventType === 'tool_call' && onToolCall) {
                            onToolCall(data);
                        } else if (currentEventType === 'done' && onDone) {
                            onDone(data);
                        }
                    } catch (e) {
                        // Ignore parse errors
                    }
                }
            }
        }
    } catch (error) {
        console.error('Error streaming LLM:', error);
        throw error;
    }
}

// Usage
const messages = [
    { role: 'user', content: [{ type: 'text', text: 'Tell me a story' }] }
];

streamLLM(
    messages,
    (token) => document.getElementById('output').textContent += token,
    (toolCall) => console.log('Tool call:', toolCall),
    (done) => console.log('Complete:', done)
);

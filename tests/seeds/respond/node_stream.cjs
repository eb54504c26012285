const axios = require('axios');

async function streamLLM(messages, model = 'meta/llama-3-70b-instruct') {
    try {
        const response = await axios.post(
            'https://streamchat-staging.jobsolve.ai/api/v1/llm/respond',
            {
                model: model,
                messages: messages,
                temperature: 0.7,
                max_tokens: 1000,
                stream: true
            },
            {
                headers: {
                    'Content-Type': 'application/json',
                    'x-api-key': '11ea0155-84b0-48d9-826c-8a14bd41e235'
                },
                responseType: 'stream'
            }
        );
        
        let buffer = '';
        let currentEventType = '';
        
        response.data.on('data', (chunk) => {
            buffer += chunk.toString();
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
                        
                        if (currentEventType === 'token') {
                            process.stdout.write(data.text || '');
                        } else if (currentEventType === 'tool_call') {
                            console.log('\n[Tool Call]', data.name, data.arguments);
                        } else if (currentEventType === 'done') {
                            console.log('\n\n[Done]', data);
                        }
                    } catch (e) {
                        // Ignore parse errors
                    }
                }
            }
        });
        
        response.data.on('end', () => {
            console.log('\nStream complete');
        });
        
    } catch (error) {
        console.error('Error streaming LLM:', error.message);
        throw error;
    }
}

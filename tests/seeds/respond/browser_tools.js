// Define tools
const tools = [
    {
        type: 'function',
        function: {
            name: 'get_weather',
            description: 'Get the current weather',
            parameters: {
                type: 'object',
                properties: {
                    location: { type: 'string' }
                },
                required: ['location']
            }
        }
    }
];

// Tool execution
const toolFunctions = {
    get_weather: (args) => {
        return `The weather in ${args.location} is 72°F and sunny.`;
    }
};

async function chatWithTools(messages) {
    while (true) {
        const response = await fetch('https://streamchat-staging.jobsolve.ai/api/v1/llm/respond', {
            method: 'POST',
            headers: {
                'Content-Type': 'application/json',
                'x-api-key': '11ea0155-84b0-48d9-826c-8a14bd41e235'
            },
            body: JSON.stringify({
                model: 'meta/llama-3-70b-instruct',
                messages: messages,
                tools: tools,
                tool_choice: 'auto',
                stream: false
            })
        });
        
        const data = await response.json();
        
        // Add assistant message if present
        if (data.message) {
            messages.push(data.message);
            console.log('Assistant:', data.message.content[0].text);
        }
        
        // Handle tool calls
        if (data.tool_calls && data.tool_calls.length > 0) {
            for (const toolCall of data.tool_calls) {
                // Add assistant message with tool call
                messages.push({
                    role: 'assistant',
                    content: null,
                    tool_calls: [toolCall]
                });
                
                // Execute tool
                const result = toolFunctions[toolCall.name](toolCall.arguments);
                
                // Add tool result
                messages.push({
                    role: 'tool',
                    content: result,
                    tool_call_id: toolCall.id
                });
            }
        } else {
            break; // Conversation complete
        }
    }
    
    return messages;
}

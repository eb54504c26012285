const axios = require('axios');

// Define available tools
const tools = [
    {
        type: 'function',
        function: {
            name: 'get_weather',
            description: 'Get the current weather for a location',
            parameters: {
                type: 'object',
                properties: {
                    location: {
                        type: 'string',
                        description: 'The city and state'
                    }
                },
                required: ['location']
            }
        }
    }
];

// Tool execution functions
const toolFunctions = {
    get_weather: async (args) => {
        // Your implementation here
        return `The weather in ${args.location} is 72°F and sunny.`;
    }
};

async function chatWithTools(messages) {
    while (true) {
        const response = await axios.post(
            'https://streamchat-staging.jobsolve.ai/api/v1/llm/respond',
            {
                model: 'meta/llama-3-70b-instruct',
                messages: messages,
                tools: tools,
                tool_choice: 'auto',
                stream: false
            },
            {
                headers: {
                    'Content-Type': 'application/json',
                    'x-api-key': '11ea0155-84b0-48d9-826c-8a14bd41e235'
                }
            }
        );
        
        const data = response.data;
        
        // If there's a message, add it to conversation
        if (data.message) {
            messages.push(data.message);
            console.log('Assistant:', data.message.content[0].text);
        }
        
        // If there are tool calls, execute them
        if (data.tool_calls && data.tool_calls.length > 0) {
            for (const toolCall of data.tool_calls) {
                // Add assistant message with tool calls
                messages.push({
                    role: 'assistant',
                    content: null,
                    tool_calls: [toolCall]
                });
                
                // Execute the tool
                const toolResult = await toolFunctions[toolCall.name](toolCall.arguments);
                
                // Add tool result
                messages.push({
                    role: 'tool',
                    content: toolResult,
                    tool_call_id: toolCall.id
                });
            }
        } else {
            // No more tool calls, conversation complete
            break;
        }
    }
    
    return messages;
}

// Usage
const messages = [
    { role: 'user', content: [{ type: 'text', text: 'What is the weather in San Francisco?' }] }
];

chatWithTools(messages).then(() => {
    console.log('Conversation complete');
});

messages = [
    {
        "role": "system",
        "content": "You are a Python tutor."
    },
    {
        "role": "user",
        "content": "What is a list comprehension?"
    },
    {
        "role": "assistant",
        "content": "A list comprehension is a concise way to create lists in Python..."
    },
    {
        "role": "user",
        "content": "Can you show me an example?"
    }
]

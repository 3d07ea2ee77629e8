"""The trained model behind the HTTP interface of OpenAI: chat completions and plain completions.

errors      what a client is told that asked for something that cannot be
bodies      what a request says; unsupported names its parameters that have no effect here,
            and reasons why a value is refused
paths       what a client is told that asked a path that is none
prompts     messages → segments of a prompt, in the format of the training
stops       texts that end an answer
jobs        requests on their way, and what those who wait for them are told
worker      one thread that owns the model, and the queue before it
replies     answers in the shape that clients expect
app         paths, the check of the key, limits
run         the socket: where it listens, and how it ends
"""

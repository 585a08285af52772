"""Warm starts: jobs fork from one process that has vLLM imported, and are prepared in advance.

Importing vLLM takes 10 to 25 seconds, configuring an engine two or three more. A server process,
started with the workflow, imports it once (server.py). A rule's script is only its client
(client.py): it hands over what is to be done and waits for the exit code, while a process forked
from the server does the job. While GPUs generate, the server forks the jobs that come next, which
do all that needs no GPU and wait (ahead.py, child.py).

The server never touches a device. It ends with the workflow, however that ends, and so does
everything that nobody waits for. Where there is no server (a cluster, `planning.warm_start: false`,
vLLM in another environment) scripts do their job themselves.
"""

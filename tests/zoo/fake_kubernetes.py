"""Stands in for a Kubernetes cluster, as far as Snakemake's executor calls it.

The container of a Job is a process of this machine, in an empty folder, without this process' variables.
Left out are images, volumes (a mounted path is the path itself) and limits.  `pip` in a container does nothing:
what the executor installs there lies beside the Python of these tests.
"""

import json
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Cluster:
    def __init__(self, folder):
        self.folder, self.jobs, self.bodies = folder, {}, []
        commands = folder / "image"
        commands.mkdir(parents=True)
        (commands / "pip").write_text("#!/bin/sh\n")
        (commands / "pip").chmod(0o755)
        self.path = f"{commands}:{Path(sys.executable).parent}:/usr/bin:/bin"
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.config = folder / "kubeconfig"
        entries = {"cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}, "user": {}}
        entries["context"] = {"cluster": "fake", "user": "fake"}
        config = {f"{kind}s": [{"name": "fake", kind: value}] for kind, value in entries.items()}
        config.update({"apiVersion": "v1", "kind": "Config", "current-context": "fake"})
        self.config.write_text(json.dumps(config))

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        for process in self.jobs.values():
            process.kill()
            process.wait()

    def start(self, body):
        name, container = body["metadata"]["name"], body["spec"]["template"]["spec"]["containers"][0]
        self.bodies.append(body)
        with (self.folder / f"{name}.log").open("w") as log:
            self.jobs[name] = subprocess.Popen(
                [*container["command"], *container["args"]], stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env={"PATH": self.path, "HOME": "/tmp"},
                cwd=tempfile.mkdtemp(prefix="workdir-", dir=self.folder))

    def status(self, name):
        code = self.jobs[name].poll()
        return {"active": 1} if code is None else {"failed": 1} if code else {"succeeded": 1}

    def handler(self):
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def body(self):
                return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")

            def answer(self, value, code=200):
                content = json.dumps(value).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self):
                body = self.body()
                if self.path.endswith("/jobs"):
                    cluster.start(body)
                self.answer(body, 201)

            def do_GET(self):
                path = self.path.split("?")[0].removesuffix("/status")
                if path.endswith("/pods"):
                    self.answer({"kind": "PodList", "apiVersion": "v1", "items": []})
                else:
                    name = path.split("/")[-1]
                    self.answer({"kind": "Job", "apiVersion": "batch/v1", "metadata": {"name": name},
                                 "status": cluster.status(name)})

            def do_DELETE(self):
                self.body()
                self.answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

            def log_message(self, *_):
                pass

        return Handler

"""Stands in for `rlmaster`: does what `plan.json` says, and notes what it was asked."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

folder, arguments = Path(sys.argv[1]), sys.argv[2:]
plan, asked_for = json.loads((folder / "plan.json").read_text()), " ".join(arguments)
longest = max((name for name in plan if asked_for.startswith(name)), key=len, default="")
behaviour = plan.get(longest, {})
call = {"arguments": arguments, "process": os.getpid()}
if "--rationale-file" in arguments:
    file = Path(arguments[arguments.index("--rationale-file") + 1])
    call |= {"rationale": file.read_text(), "rationale_file": str(file)}
hanging = None
if behaviour.get("hang"):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hanging = subprocess.Popen(["sleep", "100"])
    call["grandchild"] = hanging.pid
with (folder / "asked.jsonl").open("a") as asked:
    asked.write(json.dumps(call) + "\n")
for message in behaviour.get("messages", []):
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
for answer in behaviour.get("answers", []):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
if hanging:
    hanging.wait()
while behaviour.get("waits_for") and not (folder / behaviour["waits_for"]).exists():
    time.sleep(0.02)
if "answer" in behaviour:
    sys.stdout.write(json.dumps(behaviour["answer"]) + "\n")
sys.exit(behaviour.get("exit_code", 0))

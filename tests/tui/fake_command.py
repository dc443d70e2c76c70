"""Stands in for `rlmaster`: does what `plan.json` says, and notes what it was asked."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

folder, arguments = Path(sys.argv[1]), sys.argv[2:]
behaviour = json.loads((folder / "plan.json").read_text()).get(arguments[0], {})
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
if hanging:
    hanging.wait()
if "answer" in behaviour:
    sys.stdout.write(json.dumps(behaviour["answer"]))
sys.exit(behaviour.get("exit_code", 0))

"""An ssh-agent: it holds keys, and signs with them; one that hangs holds nobody.

Source: the protocol in draft-ietf-sshm-ssh-agent, of which listing and signing are needed.
"""

import socket
from dataclasses import dataclass

import paramiko
from paramiko.message import Message

REQUEST_IDENTITIES, IDENTITIES_ANSWER = 11, 12
SIGN_REQUEST, SIGN_RESPONSE = 13, 14
SIGNATURE_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}
MOST_ANSWER_BYTES = 256 * 1024
"""Longest answer of an agent, as OpenSSH has it."""
MOST_KEYS = 1000
NO_AGENT = "its answer is not that of an agent"


class AgentError(Exception):
    """The agent cannot be reached, hangs, or will not do it."""


@dataclass(frozen=True)
class Agent:
    """Where an agent listens, and how long it may take for one answer."""

    path: str
    timeout_s: float

    def held_keys(self) -> list["AgentKey"]:
        """Return the keys that it holds.

        Raises:
            AgentError: If it does not say.
        """
        answer = self.ask(REQUEST_IDENTITIES, IDENTITIES_ANSWER, b"")
        count = answer.get_int()
        found = [
            AgentKey(self, answer.get_binary(), answer.get_binary().decode(errors="replace"))
            for _ in range(min(count, MOST_KEYS))
        ]
        if count > len(found) or not all(key.get_name() for key in found):
            raise AgentError(NO_AGENT)
        return found

    def ask(self, request: int, wanted: int, content: bytes) -> Message:
        """Return the answer to a request, on a connection of its own.

        Raises:
            AgentError: If there is none, or another one than is wanted.
        """
        message = bytes([request]) + content
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(self.timeout_s)
                link.connect(self.path)
                link.sendall(len(message).to_bytes(4, "big") + message)
                length = int.from_bytes(_received(link, 4), "big")
                if not 0 < length <= MOST_ANSWER_BYTES:
                    raise AgentError(NO_AGENT)
                answer = _received(link, length)
        except OSError as error:
            raise AgentError(error.strerror or "it did not answer in time") from error
        if answer[0] != wanted:
            raise AgentError("it refuses")
        return Message(answer[1:])


class AgentKey(paramiko.PKey):
    """A key that an agent holds."""

    def __init__(self, agent: Agent, blob: bytes, comment: str) -> None:
        """Know its public half."""
        self.public_blob = None
        self.blob = blob
        self.comment = comment
        self._agent = agent

    def get_name(self) -> str:
        """Return its type, as the library asks for it."""
        return Message(self.blob).get_binary().decode(errors="replace")

    def asbytes(self) -> bytes:
        """Return its public half, as the library asks for it."""
        return self.blob

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> Message:
        """Let the agent sign.

        Raises:
            paramiko.SSHException: If it does not.
        """
        flags = SIGNATURE_FLAGS.get((algorithm or "").removesuffix("-cert-v01@openssh.com"), 0)
        request = Message()
        request.add_string(self.blob)
        request.add_string(data)
        request.add_int(flags)
        try:
            answer = self._agent.ask(SIGN_REQUEST, SIGN_RESPONSE, request.asbytes())
        except AgentError as error:
            raise paramiko.SSHException(f"the ssh-agent does not sign: {error}") from error
        return Message(answer.get_binary())


def _received(link: socket.socket, count: int) -> bytes:
    """Return exactly so many bytes.

    Raises:
        AgentError: If the agent stops before.
    """
    content = b""
    while len(content) < count:
        piece = link.recv(count - len(content))
        if not piece:
            raise AgentError("it ended the conversation")
        content += piece
    return content

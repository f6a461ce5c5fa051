"""What an operator wants of the device, as the main screen tells it to the app."""

from __future__ import annotations

from textual.message import Message


class Said(Message):
    """A request in words."""

    def __init__(self, token: str, text: str) -> None:
        super().__init__()
        self.token = token
        self.text = text


class Replied(Message):
    """A yes or no to *request_id*."""

    def __init__(self, token: str, request_id: str, *, yes: bool) -> None:
        super().__init__()
        self.token = token
        self.request_id = request_id
        self.yes = yes


class Decided(Message):
    """Enrolled people approve or refuse *request_id*: the app asks who does."""

    def __init__(self, request_id: str, question: str, *, yes: bool) -> None:
        super().__init__()
        self.request_id = request_id
        self.question = question
        self.yes = yes


class Answered(Message):
    """An answer to the question of *request_id*."""

    def __init__(self, token: str, request_id: str, text: str) -> None:
        super().__init__()
        self.token = token
        self.request_id = request_id
        self.text = text


class Undone(Message):
    """The last act is to be taken back."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token

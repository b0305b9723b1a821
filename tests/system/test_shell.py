"""Commands for copying."""

import subprocess

from inkling.system.shell import command


def test_a_shell_takes_printed_arguments_as_they_are():
    odd = ("runs/my run", "$(id)", "`id`", 'a "b" c', "it's", "")
    line = command("sample", *odd).replace("inkling", "printf '%s\\n'", 1)
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["sample", *odd]

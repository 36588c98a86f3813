"""stub"""


def write(lines, plan, output): ...

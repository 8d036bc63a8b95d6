"""x"""
NAME="explain"


async def run(asked):
    return ""

"""x"""
NAME="read"


async def run(asked):
    return ""

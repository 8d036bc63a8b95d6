"""x"""
NAME="edge"


async def run(asked):
    return ""

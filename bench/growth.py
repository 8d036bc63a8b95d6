"""x"""
NAME="growth"


async def run(asked):
    return ""

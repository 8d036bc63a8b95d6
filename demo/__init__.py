"""The demo: ninety days of three services, sent as the real senders would send them.

`people` who acts · `derive` ids from the seed · `steps` what a story is made of · `story` the plan
of releases · `work` a release's source changes · `life` one release from plan to retro ·
`arcs` what goes otherwise · `company` what is not part of one release · `github`,
`github_objects`, `alertmanager` webhook payloads · `native` CloudEvents for what has no sender ·
`load` the loader over HTTP.
"""

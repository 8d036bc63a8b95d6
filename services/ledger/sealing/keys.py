"""The ledger's own keys: files in one folder, `<ledger>/<name>`, each readable by its owner only.

`sealer.skey` signs checkpoints; its name is the log's origin. `naming.pem` names subjects and lives
as long as the ledger. `receipts.skey` signs receipts. The sealer needs the first two, the process
that answers appends the third: production puts each where it is needed and nowhere else.
"""

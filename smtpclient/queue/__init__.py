"""The queue: records, files, spool, scheduler, poller."""

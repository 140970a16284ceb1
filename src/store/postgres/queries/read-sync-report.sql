-- What the newest comparison came to.
-- $1 fleet
select report
from sync_reports
where fleet = $1

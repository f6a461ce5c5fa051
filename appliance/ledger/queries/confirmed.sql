-- Who said yes or no to what. For the auditor.
-- :since [time]  from this day or time on (UTC); everything when absent
select settled_at, confirmed_by, words, tools, status, code, request_id, seq
from decisions
where seq >= coalesce((select min(first_seq) from segments where to_at >= :since), 0)
  and settled_at >= coalesce(:since, '')
  and confirmed_by is not null
order by seq desc

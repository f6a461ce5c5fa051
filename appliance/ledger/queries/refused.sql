-- Refused requests: what was asked, and why not. For the operator, and whoever writes the laws.
-- :since [time]  from this day or time on (UTC), such as 2026-11-22; today when absent
select settled_at, origin, peer, words, tools, code, reason, request_id
from decisions
where seq >= (select min(first_seq) from segments where to_at >= coalesce(:since, date('now')))
  and settled_at >= coalesce(:since, date('now'))
  and status = 'refused'
order by seq desc

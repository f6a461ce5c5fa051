-- Acts while nothing that knows the time had set the clock: their order is certain, their time of day is not.
-- :since [time]  from this day or time on (UTC); everything when absent
select seq, settled_at, boot, origin, words, tools, status, request_id
from decisions
where seq >= coalesce((select min(first_seq) from segments where to_at >= :since), 0)
  and settled_at >= coalesce(:since, '')
  and clock = 'untrusted' and status in ('done', 'failed', 'indeterminate', 'under way')
order by seq desc

-- The slowest turns. For the fleet engineer.
-- :since [time]  from this day or time on (UTC); everything when absent
select latency_ms, settled_at, origin, tools, status, bundle, software, request_id
from decisions
where seq >= coalesce((select min(first_seq) from segments where to_at >= :since), 0)
  and settled_at >= coalesce(:since, '')
  and latency_ms is not null
order by latency_ms desc
limit 50

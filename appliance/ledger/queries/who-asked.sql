-- Who asks for what, and how often it is done. For the owner.
-- :since [time]  from this day or time on (UTC); everything when absent
select origin, peer, asked_as, count(*) as requests, sum(status = 'done') as done, sum(status = 'refused') as refused,
  max(settled_at) as last
from decisions
where seq >= coalesce((select min(first_seq) from segments where to_at >= :since), 0)
  and settled_at >= coalesce(:since, '')
group by origin, peer, asked_as
order by requests desc

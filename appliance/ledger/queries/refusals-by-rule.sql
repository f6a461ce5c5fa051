-- The most frequent refusals, by rule or kind. For whoever writes the laws, or teaches the model.
-- :since [time]  from this day or time on (UTC); everything when absent
select code, count(*) as times, min(settled_at) as first, max(settled_at) as last, max(words) as an_example
from decisions
where seq >= coalesce((select min(first_seq) from segments where to_at >= :since), 0)
  and settled_at >= coalesce(:since, '')
  and status = 'refused'
group by code
order by times desc, code

-- Every record of a day, one line each.
-- :day [day]  the day (UTC), such as 2026-11-22; today when absent
with day as (
  select min(first_seq) as first, max(last_seq) as last from segments
  where to_at >= coalesce(:day, date('now')) and from_at < date(coalesce(:day, 'now'), '+1 day')
)
select seq, at, iif(clock = 'trusted', '', 'clock not trusted') as doubt, line, request_id
from timeline
where seq between (select first from day) and (select last from day)
  and at >= coalesce(:day, date('now')) and at < date(coalesce(:day, 'now'), '+1 day')
order by seq

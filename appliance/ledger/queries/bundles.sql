-- What became of the requests in words, for each model bundle: rates to compare versions by. For the fleet engineer.
-- :since [time]  from this day or time on (UTC); everything when absent
select bundle, substr(bundle_sha256, 1, 12) as sha256, count(*) as requests,
  round(100.0 * sum(status = 'done') / count(*), 1) as done_pct,
  round(100.0 * sum(status = 'refused') / count(*), 1) as refused_pct,
  round(100.0 * sum(status = 'failed') / count(*), 1) as failed_pct,
  round(100.0 * sum(confirmed_by is not null) / count(*), 1) as a_person_was_asked_pct,
  round(avg(latency_ms), 1) as mean_ms, min(settled_at) as first, max(settled_at) as last
from decisions
where seq >= coalesce((select min(first_seq) from segments where to_at >= :since), 0)
  and settled_at >= coalesce(:since, '')
  and bundle is not null
group by bundle, bundle_sha256
order by last desc

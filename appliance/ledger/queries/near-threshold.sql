-- Acts that were barely sure enough to happen without a question. For whoever sets the thresholds.
-- :within [number]  how near, 0 to 1; 0.05 when absent
-- :since [time]   from this day or time on (UTC); everything when absent
select round(json_extract(given, '$.confidence') - json_extract(given, '$.act_at'), 4) as above,
  json_extract(given, '$.confidence') as confidence, json_extract(given, '$.act_at') as threshold, at, tool,
  arguments, request_id
from rules
where seq >= coalesce((select min(first_seq) from segments where to_at >= :since), 0)
  and rule = 'confidence' and said = 'pass' and verdict = 'allow'
  and not coalesce(json_extract(given, '$.confirmed'), 0)
  and json_extract(given, '$.confidence') - json_extract(given, '$.act_at')
    between 0 and cast(coalesce(:within, 0.05) as real)
order by above

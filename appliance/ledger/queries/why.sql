-- Why did it act: every rule of every call within five minutes of a moment. For the auditor, after the incident.
-- :at [time]    (needed) the moment (UTC), such as 2026-11-22T03:12
-- :tool  only calls of this tool; all when absent
with near as (
  select min(first_seq) as first, max(last_seq) as last from segments
  where to_at >= strftime('%Y-%m-%dT%H:%M:%S', :at, '-5 minutes')
    and from_at <= strftime('%Y-%m-%dT%H:%M:%S', :at, '+5 minutes')
)
select at, tool, arguments, verdict, rule, said, given, iif(decided_it, 'this rule decided', '') as decided, request_id, seq
from rules
where seq between (select first from near) and (select last from near)
  and at between strftime('%Y-%m-%dT%H:%M:%S', :at, '-5 minutes') and strftime('%Y-%m-%dT%H:%M:%S', :at, '+5 minutes')
  and (:tool is null or tool = :tool)
order by seq, call_n, rule

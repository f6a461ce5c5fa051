-- Acts that may or may not have happened and that nobody has looked at yet. For the operator: `appliance resolve`.
select settled_at, words, tools, reason, request_id, seq, epoch
from decisions
where status = 'indeterminate'
order by seq

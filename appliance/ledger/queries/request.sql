-- Everything that was recorded of one request, in order.
-- :id  (needed) the request
select seq, at, boot, clock, kind, line
from (
  select t.seq, t.at, json_extract(a.body, '$.boot') as boot, t.clock, t.kind, t.line
  from timeline as t join audit as a on a.seq = t.seq
  where t.request_id = :id
)
order by seq

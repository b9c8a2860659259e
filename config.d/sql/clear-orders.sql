-- Nothing on staging may ship to a customer.
UPDATE orders SET state = 'cancelled' WHERE state = 'open';

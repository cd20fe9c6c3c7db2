"""moto as a server on a free port, which it prints, until its standard input
ends. What it does not do as AWS does is repaired here; without it, plans after
an apply would not be empty."""
import logging
import os
import sys
import threading

from moto.ec2.models import elastic_network_interfaces, instances
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

# With a subnet the security groups arrive as those of a network interface;
# moto's instance then has none.
init = instances.Instance.__init__


def init_with_groups(self, *args, **kwargs):
    init(self, *args, **kwargs)
    if not self.security_groups:
        self.security_groups = [g for nic in self.nics.values() for g in nic._group_set]


instances.Instance.__init__ = init_with_groups

# An interface without a public address has an empty association, which reads
# as if it had one.
association = elastic_network_interfaces.NetworkInterface.association.fget
elastic_network_interfaces.NetworkInterface.association = property(lambda self: association(self) or None)

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True,
                     request_handler=MotoRequestHandler)
os.environ["MOTO_PORT"] = str(server.port)


def end():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end, daemon=True).start()
print(server.port, flush=True)
server.serve_forever()

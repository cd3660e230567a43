"""The CIFAR ResNet in PyTorch, as the usual code writes it: option A shortcuts, parameters named conv1.weight, layer1.0.bn1.bias, linear.weight.
Shared by make_oracle.py and bench/compare_torch.py."""
import torch
import torch.nn as nn
import torch.nn.functional as F

CIFAR10_LT = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


class Basic(nn.Module):
    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.grow = planes != inputs
        self.planes = planes

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        if self.grow:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.planes // 4, self.planes // 4))
        return F.relu(h + x)


class ResNet(nn.Module):
    def __init__(self, blocks, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        inputs = 16
        for stage, planes in enumerate((16, 32, 64), 1):
            layers = []
            for i in range(blocks):
                layers.append(Basic(inputs, planes, 2 if stage > 1 and i == 0 else 1))
                inputs = planes
            setattr(self, f"layer{stage}", nn.Sequential(*layers))
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.layer3(self.layer2(self.layer1(h)))
        feature = h.mean(dim=(2, 3))
        return feature, self.linear(feature)


def feature_balanced(feature, score, label, count, epoch, epochs, lam=60.0, weight=None):
    n = count.log()
    rarity = n.max() - n
    rarity = rarity / rarity.max()
    alpha = (epoch / (epochs - 10)) ** 2
    length = torch.norm(feature, 2, dim=1, keepdim=True)
    return F.cross_entropy(score - alpha * lam * rarity.view(1, -1) / (length + 1e-12), label, weight)
